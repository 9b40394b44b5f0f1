-- Weights that do not sum to 1, exactly summed; what is no number counts as none.
%(weighted)s::boolean AND coalesce((
  SELECT abs(1 - sum(
    CASE jsonb_typeof(item.element -> %(weight)s::text)
      WHEN 'number' THEN (item.element -> %(weight)s::text)::numeric
    END
  )) > 0.000001
  FROM jsonb_array_elements(CASE jsonb_typeof({value}) WHEN 'array' THEN {value} ELSE '[]' END) AS item (element)
), false)
