"""The commands of ``inver``, grouped by what they are about; heavy imports wait until a command runs."""
