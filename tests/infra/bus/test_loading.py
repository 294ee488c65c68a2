"""What a process alone does not need, it does not load."""

import subprocess
import sys


def test_a_process_alone_does_not_load_nats() -> None:
    """It takes half a second, and 15 MB."""
    program = "import sys, tremula.app; print('nats' in sys.modules)"

    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert result.stdout.strip() == "False"
