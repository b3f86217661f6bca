"""What a comparison found, handed over to tools that people already use."""
