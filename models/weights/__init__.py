"""First weights, and the weights of the official releases."""
