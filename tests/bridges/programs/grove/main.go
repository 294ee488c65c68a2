// Grove is a bridge to a network that the tests play, made as bridges in Go are today:
// all that it does on Matrix is mautrix's.
//
// Lines of JSON come by stdin: what happens in a chat, see news. What is said on Matrix
// goes to stdout; lines that are not JSON are the log.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"maunium.net/go/mautrix/bridgev2/matrix/mxmain"
)

func main() {
	network := &network{}
	bridge := mxmain.BridgeMain{
		Name:        "grove",
		Description: "A bridge to a network of the tests' own",
		Version:     "1.0.0",
		Connector:   network,
	}
	bridge.PostStart = func() {
		say(map[string]any{"seen": "ready"})
		go hear(network)
	}
	bridge.InitVersion("", "", "")
	bridge.Run()
}

// say tells the test what was seen.
func say(seen map[string]any) {
	line, err := json.Marshal(seen)
	if err != nil {
		panic(err)
	}
	// By one write, so that no line of the log gets between.
	fmt.Fprintf(os.Stdout, "%s\n", line)
}

// hear passes on what the network has to tell.
func hear(network *network) {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var told news
		if err := json.Unmarshal(lines.Bytes(), &told); err != nil {
			panic(err)
		}
		network.tell(told)
	}
}
