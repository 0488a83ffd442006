<?php
$config['protected'] = array('loket' => true, 'operator' => 'operator');
