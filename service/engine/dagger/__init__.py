"""The engine that is Dagger: agents in containers, by a session for each run."""
