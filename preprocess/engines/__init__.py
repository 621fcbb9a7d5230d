"""Ways to run the shards of a plan: so far on the cores of one machine."""
