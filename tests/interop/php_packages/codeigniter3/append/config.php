<?php
$config['index_page'] = '';
$config['base_url'] = 'http://localhost/';
$config['enable_hooks'] = TRUE;
$config['sess_driver'] = 'files';
$config['sess_cookie_name'] = 'ci_session';
$config['sess_save_path'] = getenv('SESSIONS');
$config['csrf_protection'] = TRUE;
$config['csrf_exclude_uris'] = array('callback');
