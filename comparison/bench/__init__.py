"""What a mixture costs, beside every other way of serving many preferences, on the machine it runs on."""
