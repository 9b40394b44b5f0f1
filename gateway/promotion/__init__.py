"""The way forward through a rollout: the plan, its gates, the figures they ask for, and the replay of requests.

`plan` and `gates` are pure. Forward goes through the configuration file, one step at a time, only when the figures
are there; back goes around it. Only the commands come here; the gateway itself knows nothing of a plan.
"""
