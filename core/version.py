"""The version of Earwitness: it is printed with every finding, because code makes numbers too."""

VERSION = "0.1.0"
