"""Complete examples: `python -m gradspike.examples.yinyang` trains, saves, maps and deploys one network."""
