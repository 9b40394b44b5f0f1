CASE
  WHEN jsonb_typeof({value}) <> 'array' THEN true
  ELSE jsonb_path_exists({value}, {path}::jsonpath, {names}::jsonb, true)
END
