"""Prints words in colour.

Usage: shout.py [--red] WORD...
"""

from docopt import docopt
from termcolor import colored

if __name__ == "__main__":
    words = docopt(__doc__)
    print(colored(" ".join(words["WORD"]), "red" if words["--red"] else "green"))
