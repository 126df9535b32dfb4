"""Who is this user? From choices between answers to a profile: a numeric preference, and how sure it is."""
