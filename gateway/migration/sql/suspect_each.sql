-- Whether an array is anything but canonical: a fast look.
CASE
  WHEN jsonb_typeof({value}) <> 'array' THEN true
  ELSE jsonb_path_exists({value}, {path}::jsonpath, {names}::jsonb, true)
END
