"""The paper's SyncMNIST table, made anew: ``make table1``."""
