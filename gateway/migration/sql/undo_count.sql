SELECT count(*) AS rows FROM {undo}
