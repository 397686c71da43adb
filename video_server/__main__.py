"""`python -m video_server`: how `serve` starts its children."""

from video_server.cli import main

if __name__ == "__main__":
    main()
