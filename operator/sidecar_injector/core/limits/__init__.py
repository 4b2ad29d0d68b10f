"""What a namespace's LimitRanges and ResourceQuotas allow."""
