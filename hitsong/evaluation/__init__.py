"""How anything is measured; nothing here knows a network."""
