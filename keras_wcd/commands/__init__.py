"""The commands of the command line, one file each: every command calls one public function."""
