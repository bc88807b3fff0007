"""From raw features of a query or an item to one vector of width d a channel (spec section 2)."""
