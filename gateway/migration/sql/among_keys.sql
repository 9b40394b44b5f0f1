-- Whether a row is one of those with these keys.
t.{key} = ANY (%(keys)s::text[]::{key_type}[])
