"""The reader: which dimensions does a text ask for?"""
