"""How much one structure may be; beyond it the sender gets a clear error, not a long wait."""

FILE_BYTES = 5_000_000  # one structure file, or one member of an archive
LINE_CHARS = 4_096
BLOCKS = 50  # CIF blocks of one file
FRAMES = 1_000  # frames, lines or entries of one file
SITES = 10_000  # of the whole cell, after the symmetry was applied
OPERATIONS = 400  # listed symmetry operations, centring included
OPERATION_CHARS = 80
TOKENS = 600_000  # of one CIF

LENGTH = 1_000.0  # Å, longest cell edge
THICKNESS = 0.5  # Å, smallest distance of opposite faces
ANGLE = 1.0  # degrees, smallest angle; the largest is 180 less this
VOLUME_PER_SITE = 0.5  # Å³
DISTANCE = 0.5  # Å between two sites
DISTANCE_H = 0.3  # Å when one of them is hydrogen
COORDINATE = 1e4  # largest fractional coordinate that still has digits left after wrapping

SAME_PLACE = 1e-4  # fractional; nearer than this, two positions are one (as in pymatgen)
FULL = 0.005  # an occupancy this near to 1 is 1: rounded thirds, refined 1.0001

MEMBERS = 10_000  # of an archive
ARCHIVE_BYTES = 500_000_000  # unpacked, all members together
RATIO = 100  # unpacked bytes to packed ones of an archive or a member
RATIO_FREE_BYTES = 1_000_000  # below this size any ratio is harmless
JSON_DEPTH = 32
