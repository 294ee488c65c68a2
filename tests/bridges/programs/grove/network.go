package main

import (
	"context"
	"time"

	"go.mau.fi/util/configupgrade"
	"go.mau.fi/util/ptr"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/bridgev2/simplevent"
	"maunium.net/go/mautrix/event"
)

// message is something that was said on the network.
type message struct {
	// Number counts the messages of the whole network.
	Number int                 `json:"number"`
	ID     networkid.MessageID `json:"id"`
	From   networkid.UserID    `json:"from"`
	Body   string              `json:"body"`
}

// news is what happens in a chat of somebody who is logged in: something is said, or the
// network tells who is in it and what was said lately, as after a login.
type news struct {
	To      networkid.UserLoginID `json:"to"`
	Chat    networkid.PortalID    `json:"chat"`
	Said    *message              `json:"said"`
	Members []networkid.UserID    `json:"members"`
	Lately  []message             `json:"lately"`
}

// network is where everybody may log in, by one account each.
type network struct {
	bridge *bridgev2.Bridge
}

var _ bridgev2.NetworkConnector = (*network)(nil)

func (net *network) Init(bridge *bridgev2.Bridge) { net.bridge = bridge }

func (net *network) Start(context.Context) error { return nil }

func (net *network) GetName() bridgev2.BridgeName {
	return bridgev2.BridgeName{
		DisplayName:      "Grove",
		NetworkURL:       "https://grove.test",
		NetworkID:        "grove",
		BeeperBridgeType: "grove",
	}
}

func (net *network) GetDBMetaTypes() database.MetaTypes { return database.MetaTypes{} }

func (net *network) GetCapabilities() *bridgev2.NetworkGeneralCapabilities {
	return &bridgev2.NetworkGeneralCapabilities{}
}

func (net *network) GetConfig() (string, any, configupgrade.Upgrader) {
	return "", nil, configupgrade.NoopUpgrader
}

func (net *network) GetBridgeInfoVersion() (info, capabilities int) { return 1, 1 }

func (net *network) LoadUserLogin(_ context.Context, login *bridgev2.UserLogin) error {
	login.Client = &client{login: login}
	return nil
}

func (net *network) GetLoginFlows() []bridgev2.LoginFlow {
	return []bridgev2.LoginFlow{{ID: "open", Name: "Open", Description: "Just come in"}}
}

func (net *network) CreateLogin(
	_ context.Context, user *bridgev2.User, _ string,
) (bridgev2.LoginProcess, error) {
	return &entry{user}, nil
}

// tell lets somebody who is logged in know what has happened.
func (net *network) tell(told news) {
	net.bridge.GetCachedUserLoginByID(told.To).QueueRemoteEvent(told.event())
}

func (told news) event() bridgev2.RemoteEvent {
	meta := simplevent.EventMeta{
		PortalKey:    networkid.PortalKey{ID: told.Chat},
		CreatePortal: true,
	}
	if told.Said == nil {
		return &simplevent.ChatResync{
			EventMeta: meta.WithType(bridgev2.RemoteEventChatResync),
			ChatInfo:  told.info(),
			CheckNeedsBackfillFunc: func(context.Context, *database.Message) (bool, error) {
				return true, nil
			},
			BundledBackfillData: told.Lately,
		}
	}
	return &simplevent.PreConvertedMessage{
		EventMeta: meta.WithType(bridgev2.RemoteEventMessage).
			WithSender(sender(told.Said.From, told.To)).
			WithTimestamp(told.Said.at()),
		ID:   told.Said.ID,
		Data: told.Said.converted(),
	}
}

func (told news) info() *bridgev2.ChatInfo {
	members := make([]bridgev2.ChatMember, len(told.Members))
	for i, id := range told.Members {
		members[i].EventSender = sender(id, told.To)
	}
	return &bridgev2.ChatInfo{
		Name:    ptr.Ptr(string(told.Chat)),
		Type:    ptr.Ptr(database.RoomTypeGroupDM),
		Members: &bridgev2.ChatMemberList{IsFull: true, Members: members},
	}
}

// at is by the network's clock, which ticks with each message.
func (said message) at() time.Time {
	return time.Unix(1_600_000_000+int64(said.Number), 0)
}

func (said message) converted() *bridgev2.ConvertedMessage {
	content := &event.MessageEventContent{MsgType: event.MsgText, Body: said.Body}
	part := &bridgev2.ConvertedMessagePart{Type: event.EventMessage, Content: content}
	return &bridgev2.ConvertedMessage{Parts: []*bridgev2.ConvertedMessagePart{part}}
}

// sender is somebody of the network, as its account *own* sees them.
func sender(id networkid.UserID, own networkid.UserLoginID) bridgev2.EventSender {
	return bridgev2.EventSender{Sender: id, IsFromMe: string(id) == string(own)}
}
