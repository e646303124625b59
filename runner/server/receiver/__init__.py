"""The receiver of callbacks (`runner listen`): it checks, confirms, stores, and wakes whoever waits."""
