({value} IS NOT NULL AND {value} COLLATE "C" <> ALL ({canonical}::text[]))
