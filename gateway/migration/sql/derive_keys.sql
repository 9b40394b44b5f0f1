-- Weights of names that become one are added, as numeric, so that sums are exact. NULL when a name is not in the map,
-- a weight is no number, two names without weights become one, or the sum is off: such a row is not for writing.
SELECT CASE
    WHEN NOT bool_and(merged.good) THEN NULL
    WHEN %(weighted)s AND abs(1 - sum(merged.total)) > 0.000001 THEN NULL
    ELSE jsonb_object_agg(merged.stage, merged.weight) FILTER (WHERE merged.stage IS NOT NULL)
  END AS after
FROM (
  SELECT
    entry.stage,
    sum(entry.number) AS total,
    CASE WHEN count(*) = 1 THEN (array_agg(entry.weight))[1] ELSE to_jsonb(sum(entry.number)) END AS weight,
    entry.stage IS NOT NULL
      AND (NOT %(weighted)s OR count(entry.number) = count(*))
      AND (%(weighted)s OR count(*) = 1) AS good
  FROM (
    SELECT
      %(map)s::jsonb ->> member.key AS stage,
      member.value AS weight,
      CASE WHEN %(weighted)s AND jsonb_typeof(member.value) = 'number' THEN member.value::numeric END AS number
    FROM jsonb_each(CASE jsonb_typeof({value}) WHEN 'object' THEN {value} ELSE '{{}}' END) AS member
  ) AS entry
  GROUP BY entry.stage
) AS merged
WHERE jsonb_typeof({value}) = 'object'
