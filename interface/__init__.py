"""What a person sees of a mixture: the terminal, the trace page, the chat, the batch.

Knows tokens and responses. Does not know how a distribution is made.
"""
