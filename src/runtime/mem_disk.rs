//! A disk in memory: what `-dev` and `storage "inmem"` run on, and what simulations put their faults over.
