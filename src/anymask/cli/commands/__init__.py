"""The work of every command but `segment`, a file each."""
