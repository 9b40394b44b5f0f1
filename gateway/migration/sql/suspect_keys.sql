-- Whether an object is anything but canonical: a fast look.
CASE
  WHEN jsonb_typeof({value}) <> 'object' THEN true
  WHEN {value} - {canonical}::text[] <> '{{}}'::jsonb THEN true
  ELSE {weighted}::boolean AND jsonb_path_exists({value}, 'strict $.* ? (@.type() != "number")')
END
