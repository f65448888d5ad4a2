round=0
while [ "$round" -lt 20 ]; do
    fbtool race "/tmp/race$round" 4 60
    round=$((round + 1))
done
