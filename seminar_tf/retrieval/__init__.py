"""How the GSU's scores of a long history are computed: exactly, from codes, by hashing, by graph (spec section 6)."""
