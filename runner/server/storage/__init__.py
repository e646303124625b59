"""Cloud storage: inputs come from it and results go to it, one module per provider behind `protocol.Store`."""
