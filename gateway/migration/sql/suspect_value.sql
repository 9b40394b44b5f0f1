-- Whether a text is anything but canonical.
({value} IS NOT NULL AND {value} COLLATE "C" <> ALL ({canonical}::text[]))
