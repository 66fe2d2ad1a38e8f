"""From labelled data to a checkpoint that carries its contract."""
