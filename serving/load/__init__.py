"""Load for a server of TF Serving's Predict call: drawn requests, closed and open loops, what they found."""
