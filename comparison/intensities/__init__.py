"""Intensities: does half a wish have half the effect?"""
