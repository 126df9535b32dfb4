"""Methods, scorers and the chain that compares them: which way of personalising an answer is best, and how sure."""
