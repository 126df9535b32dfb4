"""Ensembles of reward models: does their lower bound resist over-optimisation?"""
