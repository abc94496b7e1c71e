"""What every benchmark needs: environments, interleaved rounds, results, a page."""
