"""How often audits of this data raise false alarms, and how large a change they find."""
