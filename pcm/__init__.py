"""WHOM to believe: preferences, the Preference Control Model, its objective and its training.

Knows `decoding` and nothing else of ours: training receives the frozen experts and the reward models as objects.
"""
