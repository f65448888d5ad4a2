fbtool naps "$FIRSTBAD_SEED" 40000
