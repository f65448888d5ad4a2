fbtool race /tmp/race 4 60
