"""The gate: at which tokens is it worth asking the experts at all?"""
