-- Elements of several spellings that become one stage and are alike in all else are merged where the first stood, their
-- weights added as numeric. Elements that differ in another field, or were spelt alike before, stay apart. NULL when an
-- element cannot be mapped, a weight is no number, or the sum is off: such a row is not for writing.
SELECT CASE
    WHEN NOT bool_and(merged.good) THEN NULL
    WHEN %(weighted)s AND abs(1 - sum(merged.total)) > 0.000001 THEN NULL
    ELSE jsonb_agg(merged.element ORDER BY merged.place)
  END AS after
FROM (
  SELECT
    min(spelt.place) AS place,
    sum(spelt.number) AS total,
    bool_and(spelt.good) AS good,
    (array_agg(spelt.element ORDER BY spelt.place))[1]
      || jsonb_build_object(%(field)s::text, spelt.stage)
      || CASE WHEN count(*) > 1 THEN jsonb_build_object(%(weight)s::text, sum(spelt.number)) ELSE '{{}}' END AS element
  FROM (
    SELECT
      entry.*,
      min(entry.raw) OVER alike IS DISTINCT FROM max(entry.raw) OVER alike AS several
    FROM (
      SELECT
        item.place,
        item.element,
        (item.element ->> %(field)s::text) COLLATE "C" AS raw,
        %(map)s::jsonb ->> (item.element ->> %(field)s::text) AS stage,
        CASE jsonb_typeof(item.element) WHEN 'object' THEN item.element - ARRAY[%(field)s, %(weight)s]::text[] END AS rest,
        CASE jsonb_typeof(item.element -> %(weight)s::text)
          WHEN 'number' THEN (item.element -> %(weight)s::text)::numeric
        END AS number,
        jsonb_typeof(item.element) = 'object'
          AND coalesce(jsonb_typeof(item.element -> %(field)s::text), '') = 'string'
          AND %(map)s::jsonb ? (item.element ->> %(field)s::text)
          AND (NOT %(weighted)s OR coalesce(jsonb_typeof(item.element -> %(weight)s::text), '') = 'number') AS good
      FROM jsonb_array_elements(CASE jsonb_typeof({value}) WHEN 'array' THEN {value} ELSE '[]' END)
        WITH ORDINALITY AS item (element, place)
    ) AS entry
    WINDOW alike AS (PARTITION BY entry.stage, entry.rest)
  ) AS spelt
  GROUP BY spelt.stage, spelt.rest, CASE WHEN spelt.several AND %(weighted)s THEN 0 ELSE spelt.place END
) AS merged
WHERE jsonb_typeof({value}) = 'array'
