-- Weights that do not sum to 1, exactly summed; what is no number counts as none.
%(weighted)s::boolean AND coalesce((
  SELECT abs(1 - sum(CASE jsonb_typeof(member.value) WHEN 'number' THEN member.value::numeric END)) > 0.000001
  FROM jsonb_each(CASE jsonb_typeof({value}) WHEN 'object' THEN {value} ELSE '{{}}' END) AS member
), false)
