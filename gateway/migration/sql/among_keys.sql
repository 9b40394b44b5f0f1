t.{key} = ANY (%(keys)s::text[]::{key_type}[])
