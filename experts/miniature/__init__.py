"""The miniature world: a small, true subject matter on which the whole chain trains in minutes and can be checked."""
