"""Links that let their holder create an account or set a new password, once."""
